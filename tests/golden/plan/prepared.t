# A parameter that the entry leaves alone is packed by `prepare`, once for both entries.
param w: f32[30, 20] = ones([30, 20])
entry f(x: f32[B, 20]) -> f32[B, 30] { x @ w.T }
entry g(x: f32[B, 20]) -> f32[B, 30] { relu(x @ w.T) }
---
plan prepare_0(; out panels: f32[20, 32] panel(1, 32) align 64, in w: f32[30, 20]) {
  launch f_0_gemm.pack(B = 1; panels, p2 = w)
}

plan f(B in 1..=2147483647; in x0: f32[B, 20], out o0: f32[B, 30], in d0: f32[20, 32] panel(1, 32) align 64) {
  launch f_0_gemm.main(B; panels = d0, x1 = x0, y3 = o0)
}

plan g(B in 1..=2147483647; in x0: f32[B, 20], out o0: f32[B, 30], in d0: f32[20, 32] panel(1, 32) align 64) {
  launch g_0_gemm.main(B; panels = d0, x1 = x0, y6 = o0)
}

plan sinter_init(; inout c0: f32[30, 20]) {
  launch sinter_init_0_elementwise.main(; y2 = c0) commit
}
