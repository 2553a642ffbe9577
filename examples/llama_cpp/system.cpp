// llama.cpp as a system of its own: it speaks the line protocol of docs/systems.md.
//
//   system MODEL     a GGUF file; where setup names a server, that computes, and otherwise this does
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "ggml-rpc.h"
#include "llama.h"

using json = nlohmann::json;

namespace {

constexpr int kAllLayers = 999;

class System {
  public:
    explicit System(std::string file) : file_(std::move(file)) {}

    json answer(const json &request) {
        const std::string asked = request.at("do");
        if (asked == "describe")
            return {{"name", std::string("llama.cpp, ggml ") + ggml_version()}, {"protocol", 1}};
        if (asked == "setup") return setup(request);
        if (asked == "prefill") {
            llama_memory_clear(llama_get_memory(context_), true);
            logits_.clear();
            return step(request.at("tokens").get<std::vector<llama_token>>());
        }
        if (asked == "decode") return step({request.at("token").get<llama_token>()});
        if (asked == "logits") return {{"logits", logits_}};
        if (asked == "close") return json::object();
        return {{"error", "cannot " + asked}};
    }

  private:
    json setup(const json &request) {
        const bool on_gpu = request.at("device") == "cuda";
        llama_model_params model_params = llama_model_default_params();
        model_params.n_gpu_layers = on_gpu ? kAllLayers : 0;
        std::vector<ggml_backend_dev_t> devices;
        if (!request.at("host").is_null()) {
            const std::string server =
                request.at("host").get<std::string>() + ":" + request.at("port").dump();
            ggml_backend_reg_t far = ggml_backend_rpc_add_server(server.c_str());
            if (far == nullptr) throw std::runtime_error(server + " does not answer");
            for (size_t i = 0; i < ggml_backend_reg_dev_count(far); ++i)
                devices.push_back(ggml_backend_reg_dev_get(far, i));
            devices.push_back(nullptr);
            model_params.devices = devices.data();
            model_params.n_gpu_layers = kAllLayers;
        }
        llama_model *model = llama_model_load_from_file(file_.c_str(), model_params);
        if (model == nullptr) throw std::runtime_error(file_ + " cannot be loaded");
        llama_context_params params = llama_context_default_params();
        params.n_ctx = params.n_batch = params.n_ubatch = request.at("positions");
        params.n_threads = params.n_threads_batch = request.at("threads");
        if (!on_gpu) {
            // The caches' default is float16, and flash attention rounds in another way.
            params.type_k = params.type_v = GGML_TYPE_F32;
            params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
        }
        context_ = llama_init_from_model(model, params);
        if (context_ == nullptr) throw std::runtime_error("no context");
        vocabulary_size_ = llama_vocab_n_tokens(llama_model_get_vocab(model));
        return json::object();
    }

    json step(std::vector<llama_token> tokens) {
        if (llama_decode(context_, llama_batch_get_one(tokens.data(), int(tokens.size()))) != 0)
            throw std::runtime_error("a pass failed");
        const float *logits = llama_get_logits_ith(context_, -1);
        logits_.emplace_back(logits, logits + vocabulary_size_);
        const auto best = std::max_element(logits_.back().begin(), logits_.back().end());
        return {{"token", best - logits_.back().begin()}};
    }

    std::string file_;
    llama_context *context_ = nullptr;
    int vocabulary_size_ = 0;
    std::vector<std::vector<float>> logits_;
};

}  // namespace

int main(int, char **argv) {
    llama_backend_init();
    System system(argv[1]);
    for (std::string line; std::getline(std::cin, line);) {
        const json request = json::parse(line);
        json answer;
        try {
            answer = system.answer(request);
        } catch (const std::exception &error) {
            answer = {{"error", error.what()}};
        }
        std::cout << answer.dump() << std::endl;
        if (request.at("do") == "close") std::_Exit(EXIT_SUCCESS);
    }
}
