# Values with disjoint lives share a slot: the third takes the place of the first.
entry f(x: f32[64, 64], a: f32[64, 64], b: f32[64, 64], c: f32[64, 64], d: f32[64, 64]) -> f32[64, 64] { x @ a @ b @ c @ d }
---
plan f(; in x0: f32[64, 64], in x1: f32[64, 64], in x2: f32[64, 64], in x3: f32[64, 64], in x4: f32[64, 64], out o0: f32[64, 64]) {
  buf t6: f32[64, 64] at 0
  buf t7: f32[64, 64] at 16384
  buf t8: f32[64, 64] at 0
  launch f_0_gemm.main(; x2 = x1, x1 = x0, y6 = t6)
  barrier
  launch f_0_gemm.main(; x2, x1 = t6, y6 = t7)
  barrier
  launch f_0_gemm.main(; x2 = x3, x1 = t7, y6 = t8)
  barrier
  launch f_0_gemm.main(; x2 = x4, x1 = t8, y6 = o0)
}
