# A barrier: as many tasks, but the second kernel reads a row that another task wrote.
entry f(x: f32[B, 8], y: f32[B, 12]) -> f32[B, 12] where B <= 100 { softmax(y * flip(sum(x, -1, keepdim = true), 0), -1) }
---
plan f(B in 1..=100; in x0: f32[B, 8], in x1: f32[B, 12], out o0: f32[B, 12]) {
  buf t3: f32[B] at 0
  launch f_0_row.main(B; x1 = x0, y3 = t3)
  barrier
  launch f_1_row.main(B; v3 = t3, x2 = x1, y17 = o0)
}
