# Equal nodes are one node.
entry f(x: f32[N], y: f32[N]) -> f32[N] { exp(x + y) * exp(x + y) }
---

entry f(x: f32[N], y: f32[N]) -> f32[N] {
  v0: f32[N] = add(x, y)
  v1: f32[N] = exp(v0)
  v2: f32[N] = mul(v1, v1)
  v2
}
