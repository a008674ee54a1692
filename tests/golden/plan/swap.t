# A swap of two states: both wait in the arena, for each commit overwrites what the other needs.
state a: f32[5] = zeros([5])
state b: f32[5] = ones([5])
entry f() {
  old = a
  a <- b
  b <- old
}
---
plan f(; inout c0: f32[5], inout c1: f32[5]) {
  buf w2: f32[5] at 0
  buf w1: f32[5] at 64
  copy w2 <- c1
  copy w1 <- c0
  barrier
  copy c0 <- w2 commit
  copy c1 <- w1 commit
}

plan sinter_init(; inout c0: f32[5], inout c1: f32[5]) {
  launch sinter_init_0_elementwise.main(; y2 = c0) commit
  launch sinter_init_1_elementwise.main(; y4 = c1) commit
}
