// adam_step on CUDA: the equations are in adam_step.h.
//
// Every pointer, also those within AdamTiles and AdamWindows, is to the device's memory.
#pragma once

#include "adam_step/adam_step.h"

namespace fastpty {
namespace cuda {

// On `stream`; nothing waits. Throws std::runtime_error where a launch fails.
void adam_catch_up(const AdamTiles& tiles, const AdamWindows& windows, int device, void* stream);

// The learning rate and the number of the step lie on the device, lest a CUDA graph keep them.
void adam_step(const AdamTiles& tiles, const float* gradient, const float* rate, const float* step,
               int device, void* stream);

void adam_settle(const AdamTiles& tiles, int device, void* stream);

}  // namespace cuda
}  // namespace fastpty
