# Two layers of one shape have one kernel: its code is made once.
param a: f32[16, 16] = ones([16, 16])
param b: f32[16, 16] = ones([16, 16])
entry f(x: f32[B, 16]) -> f32[B, 16] where B <= 50 { relu(relu(x @ a) @ b) }
---
plan prepare_0(; out panels: f32[16, 16] panel(1, 16) align 64, in w: f32[16, 16]) {
  launch f_0_gemm.pack(B = 1; panels, p2 = w)
}

plan prepare_1(; out panels: f32[16, 16] panel(1, 16) align 64, in w: f32[16, 16]) {
  launch f_0_gemm.pack(B = 1; panels, p2 = w)
}

plan f(B in 1..=50; in x0: f32[B, 16], out o0: f32[B, 16], in d0: f32[16, 16] panel(1, 16) align 64, in d1: f32[16, 16] panel(1, 16) align 64) {
  buf t6: f32[B, 16] at 0
  launch f_0_gemm.main(B; panels = d0, x1 = x0, y6 = t6)
  barrier
  launch f_0_gemm.main(B; panels = d1, x1 = t6, y6 = o0)
}

plan sinter_init(; inout c0: f32[16, 16], inout c1: f32[16, 16]) {
  launch sinter_init_0_elementwise.main(; y2 = c0) commit
  barrier
  copy c1 <- c0 commit
}
