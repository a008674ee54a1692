# A factor leaves the sum: the product is of one number, not of all elements.
entry f(x: f32[M, N]) -> f32[M] { sum(x * 3, 1) }
---

entry f(x: f32[M, N]) -> f32[M] {
  v0: f32[M, N] = mul(x, 3.0)
  v1: f32[M] = reduce_sum(v0, axes = [1])
  v1
}
