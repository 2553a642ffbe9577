// Asks llama.cpp what a GGUF file makes of a text, and what follows it if the likeliest token is
// taken at each step.
//
//   greedy tokens MODEL TEXT                      prints the text's token ids
//   greedy dequantise MODEL OUT                   writes the model with all tensors in float32
//   greedy decode MODEL THREADS STEPS LOGITS ID…  prints the ids that follow, and writes all logits
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "llama.h"

namespace {

llama_model *opened(const char *file) {
    llama_model_params params = llama_model_default_params();
    params.n_gpu_layers = 0;
    llama_model *model = llama_model_load_from_file(file, params);
    if (model == nullptr) throw std::runtime_error(std::string(file) + " cannot be loaded");
    return model;
}

void print(const std::vector<llama_token> &tokens) {
    for (llama_token token : tokens) std::printf("%d ", token);
    std::printf("\n");
}

void tokens(const char *file, const std::string &text) {
    const llama_vocab *vocabulary = llama_model_get_vocab(opened(file));
    std::vector<llama_token> found(text.size() + 2);
    const int count = llama_tokenize(vocabulary, text.data(), int(text.size()), found.data(),
                                     int(found.size()), true, false);
    if (count < 0) throw std::runtime_error("the text cannot be tokenised");
    found.resize(size_t(count));
    print(found);
}

void dequantise(const char *file, const char *out) {
    llama_model_quantize_params params = llama_model_quantize_default_params();
    params.ftype = LLAMA_FTYPE_ALL_F32;
    params.allow_requantize = true;
    if (llama_model_quantize(file, out, &params) != 0) throw std::runtime_error("not dequantised");
}

void decode(const char *file, int threads, int steps, const char *logits_file,
            std::vector<llama_token> prompt) {
    llama_model *model = opened(file);
    llama_context_params params = llama_context_default_params();
    params.n_ctx = uint32_t(prompt.size()) + uint32_t(steps);
    params.n_batch = uint32_t(prompt.size());
    params.n_ubatch = params.n_batch;
    params.n_threads = params.n_threads_batch = threads;
    // The caches' default is float16, and flash attention rounds in another way.
    params.type_k = params.type_v = GGML_TYPE_F32;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    llama_context *context = llama_init_from_model(model, params);
    if (context == nullptr) throw std::runtime_error("no context");
    const int vocabulary_size = llama_vocab_n_tokens(llama_model_get_vocab(model));
    std::ofstream all_logits(logits_file, std::ios::binary);
    std::vector<llama_token> input = prompt, chosen;
    for (int step = 0; step < steps; ++step) {
        if (llama_decode(context, llama_batch_get_one(input.data(), int(input.size()))) != 0)
            throw std::runtime_error("a pass failed");
        const float *logits = llama_get_logits_ith(context, -1);
        all_logits.write(reinterpret_cast<const char *>(logits),
                         std::streamsize(sizeof(float)) * vocabulary_size);
        input = {llama_token(std::max_element(logits, logits + vocabulary_size) - logits)};
        chosen.push_back(input[0]);
    }
    print(chosen);
}

}  // namespace

int main(int argc, char **argv) {
    const std::vector<std::string> given(argv + 1, argv + argc);
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    llama_backend_init();
    try {
        if (given.size() == 3 && given[0] == "tokens") {
            tokens(argv[2], given[2]);
        } else if (given.size() == 3 && given[0] == "dequantise") {
            dequantise(argv[2], argv[3]);
        } else if (given.size() > 5 && given[0] == "decode") {
            std::vector<llama_token> prompt;
            for (size_t i = 5; i < given.size(); ++i) prompt.push_back(std::stoi(given[i]));
            decode(argv[2], std::stoi(given[2]), std::stoi(given[3]), argv[5], prompt);
        } else {
            throw std::runtime_error("what to do?");
        }
    } catch (const std::exception &error) {
        std::fprintf(stderr, "greedy: %s\n", error.what());
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
