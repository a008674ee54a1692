# Not in place: a later kernel can fail, and then nothing may have changed.
state s: f32[4] = zeros([4])
entry f(x: f32[4], i: i64[B]) -> f32[B] where B <= 9 {
  s <- s + x
  s[i]
}
---
plan f(B in 1..=9; in x0: f32[4], in x1: i64[B], out o0: f32[B], inout c0: f32[4]) {
  buf t4: f32[4] at 0
  launch f_0_elementwise.main(B; x1 = x0, p3 = c0, y4 = t4)
  launch f_1_elementwise.main(B; x2 = x1, v4 = t4, y5 = o0)
  barrier
  copy c0 <- t4 commit
}

plan sinter_init(; inout c0: f32[4]) {
  launch sinter_init_0_elementwise.main(; y2 = c0) commit
}
