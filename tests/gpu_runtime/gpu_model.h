/* The model of tests/unit/fake_model.h with code for GPUs besides: PTX that says what the interfaces of its kernels are
 * (model_kernels.cu has what they do), for any GPU from 8.0 on and for 9.0 alone, where predict wants a map of a
 * tensor. All entries but wait, look and evaluate run there. */
#ifndef SINTER_TESTS_GPU_MODEL_H
#define SINTER_TESTS_GPU_MODEL_H
#include "fake_model.h"

void gpu_model_build(void); /* instead of fake_build() */
#endif
