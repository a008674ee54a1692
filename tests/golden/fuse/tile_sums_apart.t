# Not fused: what needs the whole sum in each row, a second sum, another row than it sums, few rows, products side by side, a row that is needed again.
# level: gpu
entry needed(x: f32[B, 20], w: f32[20, 30]) -> f32[B, 30] {
  y = x @ w
  y - reshape(sum(y, 0), [1, 30])
}
# The sum and its rows have one size, and still are not in one place.
entry square(x: f32[300, 20], w: f32[20, 300]) -> f32[300, 300] {
  y = x @ w
  y * reshape(sum(y, 0), [300, 1])
}
entry second(x: f32[B, 20], w: f32[20, 30]) -> (f32[30], f32[30]) {
  y = x @ w
  (sum(y, 0), sum(y * y, 0))
}
entry with_a_row(x: f32[B, 20], w: f32[20, 30]) -> (f32[30], f32[B, 30]) where B >= 1 {
  y = x @ w
  (sum(y, 0) * y[0], y)
}
entry few(x: f32[100, 20], w: f32[20, 30]) -> f32[30] { sum(x @ w, 0) }
entry batch(x: f32[4, B, 20], w: f32[4, 20, 30]) -> f32[4, 30] { sum(x @ w, 1) }
entry wide(x: f64[B, 20], w: f64[20, 30]) -> f64[30] { sum(x @ w, 0) }
entry again(x: f32[B, 20], w: f32[20, 70]) -> f32[B, 70] {
  y = x @ w
  y / sqrt(mean(y * y, -1, keepdim = true))
}
entry short(x: f32[B, 20], w: f32[20, 30]) -> f32[B] { sum(x @ w, -1) }
---
entry needed
  kernel k0: gemm over [B, 30]
    computes dot_general (tile_sums_apart.t:4:7), reduce_sum (tile_sums_apart.t:5:15)
    stores f32[B, 30] dot_general (tile_sums_apart.t:4:7), f32[30] reduce_sum (tile_sums_apart.t:5:15)
    fused with dot_general (tile_sums_apart.t:4:7), which reduce_sum reads: each tile of the product has a part of the sum, a second stage adds these up
  kernel k1: elementwise over [B, 30]
    computes sub (tile_sums_apart.t:5:3)
    stores f32[B, 30] sub (tile_sums_apart.t:5:3)
    not fused with dot_general (tile_sums_apart.t:4:7), which sub reads: it needs the whole sum, of which a tile has a part
    not fused with reduce_sum (tile_sums_apart.t:5:15), which sub reads: it needs the whole sum, of which a tile has a part
entry square
  kernel k0: gemm over [300, 300]
    computes dot_general (tile_sums_apart.t:9:7), reduce_sum (tile_sums_apart.t:10:15)
    stores f32[300, 300] dot_general (tile_sums_apart.t:9:7), f32[300] reduce_sum (tile_sums_apart.t:10:15)
    fused with dot_general (tile_sums_apart.t:9:7), which reduce_sum reads: each tile of the product has a part of the sum, a second stage adds these up
  kernel k1: elementwise over [300, 300]
    computes mul (tile_sums_apart.t:10:3)
    stores f32[300, 300] mul (tile_sums_apart.t:10:3)
    not fused with dot_general (tile_sums_apart.t:9:7), which mul reads: it needs the whole sum, of which a tile has a part
    not fused with reduce_sum (tile_sums_apart.t:10:15), which mul reads: it needs the whole sum, of which a tile has a part
entry second
  kernel k0: gemm over [B, 30]
    computes dot_general (tile_sums_apart.t:13:7), reduce_sum (tile_sums_apart.t:14:4), mul (tile_sums_apart.t:14:19)
    stores f32[30] reduce_sum (tile_sums_apart.t:14:4), f32[B, 30] mul (tile_sums_apart.t:14:19)
    fused with dot_general (tile_sums_apart.t:13:7), which reduce_sum reads: each tile of the product has a part of the sum, a second stage adds these up
    fused with dot_general (tile_sums_apart.t:13:7), which mul reads: read where it is made: one loop nest
  kernel k1: reduce over [B, 30]
    computes reduce_sum (tile_sums_apart.t:14:15)
    stores f32[30] reduce_sum (tile_sums_apart.t:14:15)
    not fused with mul (tile_sums_apart.t:14:19), which reduce_sum reads: the tiles of a product sum one value
entry with_a_row
  kernel k0: gemm over [B, 30]
    computes dot_general (tile_sums_apart.t:17:7), reduce_sum (tile_sums_apart.t:18:4)
    stores f32[B, 30] dot_general (tile_sums_apart.t:17:7), f32[30] reduce_sum (tile_sums_apart.t:18:4)
    fused with dot_general (tile_sums_apart.t:17:7), which reduce_sum reads: each tile of the product has a part of the sum, a second stage adds these up
  kernel k1: elementwise over [30]
    computes mul (tile_sums_apart.t:18:4)
    stores f32[30] mul (tile_sums_apart.t:18:4)
    not fused with reduce_sum (tile_sums_apart.t:18:4), which mul reads: it reads the value at another place than where it is made
    not fused with dot_general (tile_sums_apart.t:17:7), which mul reads: it reads the value at another place than where it is made
entry few
  kernel k0: gemm over [100, 30]
    computes dot_general (tile_sums_apart.t:20:61)
    stores f32[100, 30] dot_general (tile_sums_apart.t:20:61)
  kernel k1: reduce over [100, 30]
    computes reduce_sum (tile_sums_apart.t:20:57)
    stores f32[30] reduce_sum (tile_sums_apart.t:20:57)
    not fused with dot_general (tile_sums_apart.t:20:61), which reduce_sum reads: a reduction does not ride on a product's tile
entry batch
  kernel k0: gemm over [4, B, 30]
    computes dot_general (tile_sums_apart.t:21:70)
    stores f32[4, B, 30] dot_general (tile_sums_apart.t:21:70)
  kernel k1: reduce over [4, B, 30]
    computes reduce_sum (tile_sums_apart.t:21:66)
    stores f32[4, 30] reduce_sum (tile_sums_apart.t:21:66)
    not fused with dot_general (tile_sums_apart.t:21:70), which reduce_sum reads: a reduction does not ride on a product's tile
entry wide
  kernel k0: gemm over [B, 30]
    computes dot_general (tile_sums_apart.t:22:60)
    stores f64[B, 30] dot_general (tile_sums_apart.t:22:60)
  kernel k1: reduce over [B, 30]
    computes reduce_sum (tile_sums_apart.t:22:56)
    stores f64[30] reduce_sum (tile_sums_apart.t:22:56)
    not fused with dot_general (tile_sums_apart.t:22:60), which reduce_sum reads: a reduction does not ride on a product's tile
entry again
  kernel k0: gemm over [B, 70]
    computes dot_general (tile_sums_apart.t:24:7), mul (tile_sums_apart.t:25:17)
    stores f32[B, 70] dot_general (tile_sums_apart.t:24:7), f32[B, 70] mul (tile_sums_apart.t:25:17)
    fused with dot_general (tile_sums_apart.t:24:7), which mul reads: read where it is made: one loop nest
  kernel k1: row over [B, 70]
    computes reduce_sum (tile_sums_apart.t:25:12), div (tile_sums_apart.t:25:12), sqrt (tile_sums_apart.t:25:7), div (tile_sums_apart.t:25:3)
    stores f32[B, 70] div (tile_sums_apart.t:25:3)
    not fused with mul (tile_sums_apart.t:25:17), which reduce_sum reads: what needs the sum reads the product again: a kernel of rows reads it once for both
    fused with reduce_sum (tile_sums_apart.t:25:12), which div reads: read where it is made: one loop nest
    fused with div (tile_sums_apart.t:25:12), which sqrt reads: read where it is made: one loop nest
    not fused with dot_general (tile_sums_apart.t:24:7), which div reads: a kernel between them needs the one and feeds the other
    fused with sqrt (tile_sums_apart.t:25:7), which div reads: read where it is made: one loop nest
entry short
  kernel k0: gemm over [B, 30]
    computes dot_general (tile_sums_apart.t:27:60)
    stores f32[B, 30] dot_general (tile_sums_apart.t:27:60)
  kernel k1: row over [B, 30]
    computes reduce_sum (tile_sums_apart.t:27:56)
    stores f32[B] reduce_sum (tile_sums_apart.t:27:56)
    not fused with dot_general (tile_sums_apart.t:27:60), which reduce_sum reads: a reduction does not ride on a product's tile
