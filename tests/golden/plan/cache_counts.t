# Another update is stored only if the first did not fail: a barrier tells all threads before.
state n: i64[] = 0
entry f(inout k: f32[2, 3, T], v: f32[2, 3, 1], at: i64[]) where T <= 50 {
  k[:, :, at:at + 1] <- v
  n <- n + 1
}
---
plan f(T in 1..=50; inout x0: f32[2, 3, T], in x1: f32[2, 3, 1], in x2: i64[], inout c0: i64[]) {
  launch f_0_nest.update(T; y5 = x0, x3 = x2, x2 = x1) commit
  barrier
  launch f_1_elementwise.main(T; p6 = c0, y7 = c0) serial commit
}

plan sinter_init(; inout c0: i64[]) {
  launch sinter_init_0_elementwise.main(; y1 = c0) serial commit
}
