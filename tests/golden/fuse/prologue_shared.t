# Not fused: two products read the value, so it is stored.
entry f(x: f32[B, 20], w: f32[30, 20], v: f32[20, 7]) -> (f32[B, 30], f32[B, 7]) {
  y = x / 16
  (y @ w.T, y @ v)
}
---
entry f
  kernel k0: elementwise over [B, 20]
    computes mul (prologue_shared.t:3:7)
    stores f32[B, 20] mul (prologue_shared.t:3:7)
  kernel k1: gemm over [B, 30]
    computes dot_general (prologue_shared.t:4:4)
    stores f32[B, 30] dot_general (prologue_shared.t:4:4)
    not fused with mul (prologue_shared.t:3:7), which dot_general reads: the value is needed elsewhere too: it is stored once
  kernel k2: gemm over [B, 7]
    computes dot_general (prologue_shared.t:4:13)
    stores f32[B, 7] dot_general (prologue_shared.t:4:13)
    not fused with mul (prologue_shared.t:3:7), which dot_general reads: the value is needed elsewhere too: it is stored once
