/* AArch64 under an emulator, as the machine of the matrix. */
#include "native.h"
#include "qemu.h"

static bool has(int level) { return level == 0; }

const NativeMachine native_machine = {.target = "aarch64",
                                      .nlevels = 1,
                                      .level = {"a64"},
                                      .threads = {1, 3},
                                      .slow = true,
                                      .missing = qemu_missing,
                                      .has = has,
                                      .open = qemu_artefact_open,
                                      .close = qemu_artefact_close};
