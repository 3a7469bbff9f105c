#pragma once
// Takes the place of CUDA's header when the device is emulated.

#include "emulator/arithmetic_functions.h"
#include "emulator/language.h"
#include "emulator/memory_functions.h"
#include "emulator/runtime_api.h"
#include "emulator/warp_functions.h"
