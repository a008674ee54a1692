# A gradient: the seed of ones and its products are gone.
entry f(x: f32[N]) -> f32[N] {
  x = leaf(x)
  grad(sum(x * x), x)
}
---

entry f(x: f32[N]) -> f32[N] {
  v0: f32[N] = add(x, x)
  v0
}
