# Numbers fold into one.
entry f(x: f32[N]) -> f32[N] { x * (2.0 ** 3 - 4) + sqrt(16.0) }
---

entry f(x: f32[N]) -> f32[N] {
  v0: f32[N] = mul(x, 4.0)
  v1: f32[N] = add(v0, 4.0)
  v1
}
