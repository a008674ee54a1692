# On a GPU the tiles of a product sum its rows, or each row: a kernel less reads it. What is made of the sum alone rides on.
# level: gpu
entry f(x: f32[B, 20], w: f32[20, 30], b: f32[30]) -> (f32[B, 30], f32[30], f32[]) {
  y = relu(x @ w)
  s = b - 0.1 * sum(y, 0)
  (y, s, sum(s))
}
entry rows(x: f32[B, 20], w: f32[20, 70], o: f32[B, 70]) -> (f32[B, 70], f32[B]) {
  y = x @ w
  (y, sum(y * o, -1))
}
---
entry f
  kernel k0: gemm over [B, 30]
    computes dot_general (tile_sums.t:4:12), less_equal (tile_sums.t:4:7), select (tile_sums.t:4:7), reduce_sum (tile_sums.t:5:17), mul (tile_sums.t:5:11), sub (tile_sums.t:5:7)
    stores f32[B, 30] select (tile_sums.t:4:7), f32[30] sub (tile_sums.t:5:7)
    fused with dot_general (tile_sums.t:4:12), which less_equal reads: read where it is made: one loop nest
    fused with less_equal (tile_sums.t:4:7), which select reads: read where it is made: one loop nest
    fused with select (tile_sums.t:4:7), which reduce_sum reads: each tile of the product has a part of the sum, a second stage adds these up
    fused with reduce_sum (tile_sums.t:5:17), which mul reads: read where the sum is made: one loop nest
    fused with mul (tile_sums.t:5:11), which sub reads: read where the sum is made: one loop nest
  kernel k1: row over [30]
    computes reduce_sum (tile_sums.t:6:10)
    stores f32[] reduce_sum (tile_sums.t:6:10)
    not fused with sub (tile_sums.t:5:7), which reduce_sum reads: the tiles of a product sum one value
entry rows
  kernel k0: gemm over [B, 70]
    computes dot_general (tile_sums.t:9:7), mul (tile_sums.t:10:11), reduce_sum (tile_sums.t:10:7)
    stores f32[B, 70] dot_general (tile_sums.t:9:7), f32[B] reduce_sum (tile_sums.t:10:7)
    fused with dot_general (tile_sums.t:9:7), which mul reads: read where it is made: one loop nest
    fused with mul (tile_sums.t:10:11), which reduce_sum reads: each tile of the product has a part of the sum, a second stage adds these up
