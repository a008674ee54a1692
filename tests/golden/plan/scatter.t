# The stages of a scatter meet in its result: a barrier between them.
entry f(x: f32[6, 4], i: i64[B], u: f32[B, 4]) -> f32[6, 4] { index_add(x, i, u) }
---
plan f(B in 1..=2147483647; in x0: f32[6, 4], in x1: i64[B], in x2: f32[B, 4], inout o0: f32[6, 4]) {
  launch f_0_nest.copy(B; y4 = o0, x1 = x0)
  barrier
  launch f_0_nest.add(B; y4 = o0, x2 = x1, x3 = x2)
}
