/* Switching between stacks: x86-64 by a few instructions (which keep the registers that a call keeps; rounding modes
 * are shared), other machines, or with EMULATOR_UCONTEXT defined, by ucontext. */
#ifndef SINTER_EMU_FIBER_H
#define SINTER_EMU_FIBER_H
#include <stddef.h>
#if !defined(__x86_64__) && !defined(EMULATOR_UCONTEXT)
#define EMULATOR_UCONTEXT
#endif

#ifdef EMULATOR_UCONTEXT
#include <ucontext.h>
typedef ucontext_t Fiber;
#else
typedef struct Fiber {
  void *stack_pointer;
} Fiber;
#endif

void fiber_make(Fiber *, void *stack, size_t bytes, void (*entry)(void)); /* entry must not return */
void fiber_switch(Fiber *from, Fiber *to);                                /* saves the running one in from */
#endif
