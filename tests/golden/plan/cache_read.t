# Not in place: a kernel that comes later can fail. The old value is copied first, the new one committed last.
entry f(inout k: f32[2, 3, T], v: f32[2, 3, 1], at: i64[], i: i64[]) -> f32[2, 3, 1] where T <= 50 {
  k[:, :, at:at + 1] <- v
  k[:, :, i:i + 1]
}
---
plan f(T in 1..=50; inout x0: f32[2, 3, T], in x1: f32[2, 3, 1], in x2: i64[], in x3: i64[], out o0: f32[2, 3, 1]) {
  buf t5: f32[2, 3, T] at 0
  launch f_0_nest.copy(T; y5 = t5, x1 = x0)
  launch f_0_nest.update(T; y5 = t5, x3 = x2, x2 = x1)
  launch f_1_elementwise.main(T; x4 = x3, v5 = t5, y6 = o0)
  barrier
  copy x0 <- t5 commit
}
