#include "emu_fiber.h"

#ifdef EMULATOR_UCONTEXT
void fiber_make(Fiber *f, void *stack, size_t bytes, void (*entry)(void)) {
  getcontext(f);
  f->uc_stack.ss_sp = stack;
  f->uc_stack.ss_size = bytes;
  f->uc_link = NULL;
  makecontext(f, entry, 0);
}

void fiber_switch(Fiber *from, Fiber *to) { swapcontext(from, to); }
#else
void emu_switch_stack(void **save, void *to);
__asm__(".text\n"
        ".type emu_switch_stack, @function\n"
        "emu_switch_stack:\n"
        "  push %rbp\n  push %rbx\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
        "  mov %rsp, (%rdi)\n"
        "  mov %rsi, %rsp\n"
        "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbx\n  pop %rbp\n"
        "  ret\n"
        ".size emu_switch_stack, . - emu_switch_stack\n");

void fiber_make(Fiber *f, void *stack, size_t bytes, void (*entry)(void)) {
  void **top = (void **)((char *)stack + bytes - 64);
  *--top = NULL; /* where entry would return to; as after a call, the stack is 8 off a multiple of 16 */
  *--top = (void *)entry;
  for (int i = 0; i < 6; i++) *--top = NULL; /* the registers */
  f->stack_pointer = top;
}

void fiber_switch(Fiber *from, Fiber *to) { emu_switch_stack(&from->stack_pointer, to->stack_pointer); }
#endif
