# Not in place: a later kernel reads the old value.
state s: f32[8, 8] = zeros([8, 8])
entry f(x: f32[8, 8]) -> f32[8, 8] {
  old = s
  s <- s + x
  x @ old
}
---
plan f(; in x0: f32[8, 8], out o0: f32[8, 8], inout c0: f32[8, 8]) {
  buf t3: f32[8, 8] at 0
  launch f_0_elementwise.main(; x1 = x0, p2 = c0, y3 = t3)
  launch f_1_gemm.main(; p2 = c0, x1 = x0, y4 = o0)
  barrier
  copy c0 <- t3 commit
}

plan sinter_init(; inout c0: f32[8, 8]) {
  launch sinter_init_0_elementwise.main(; y2 = c0) commit
}
