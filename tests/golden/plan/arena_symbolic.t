# Offsets are formulas of the dimensions, each slot a multiple of 64 bytes.
entry f(x: f32[B, 7], a: f32[7, 5], b: f32[5, 9], c: f32[9, 3]) -> f32[B, 3] where B <= 100 { softmax(x @ a, -1) @ b @ c }
---
plan f(B in 1..=100; in x0: f32[B, 7], in x1: f32[7, 5], in x2: f32[5, 9], in x3: f32[9, 3], out o0: f32[B, 3]) {
  buf t5: f32[B, 5] at 0
  buf t14: f32[B, 5] at 64 * ((36 * B + 63) // 64)
  buf t15: f32[B, 9] at 0
  launch f_0_gemm.main(B; x2 = x1, x1 = x0, y5 = t5)
  barrier
  launch f_1_row.main(B; v5 = t5, y14 = t14)
  barrier
  launch f_2_gemm.main(B; x3 = x2, v14 = t14, y15 = t15)
  barrier
  launch f_3_gemm.main(B; x4 = x3, v15 = t15, y16 = o0)
}
