# Windows two wide on rows of four: four rows of them at a time, and their gradient.
entry f(x: f32[B, 3, 8, 8]) -> (f32[B, 3, 4, 4], f32[B, 3, 8, 8]) { y = max_pool(x, 2); (y, grad(sum(y * y), x)) }
---
kernel f_0_nest(B in 1..=2147483647; in x1: f32[B, 3, 8, 8], out y2: f32[B, 3, 16]) {
  stage main(i0 < B, i1 < 3, i2 < 1) {
    let v1 = x1[i0, i1, i2 * 4 * 2, lane(8)]
    let v1_2 = x1[i0, i1, (i2 * 4 + 1) * 2, lane(8)]
    let v1_3 = x1[i0, i1, (i2 * 4 + 2) * 2, lane(8)]
    let v1_4 = x1[i0, i1, (i2 * 4 + 3) * 2, lane(8)]
    let x = perm2(v1, v1_2, lane(16))
    let x_2 = perm2(v1_3, v1_4, lane(16))
    let x_3 = perm2(x, x_2, lane(16) * 2)
    let x_4 = perm2(x, x_2, lane(16) * 2 + 1)
    let v1_5 = x1[i0, i1, i2 * 4 * 2 + 1, lane(8)]
    let v1_6 = x1[i0, i1, (i2 * 4 + 1) * 2 + 1, lane(8)]
    let v1_7 = x1[i0, i1, (i2 * 4 + 2) * 2 + 1, lane(8)]
    let v1_8 = x1[i0, i1, (i2 * 4 + 3) * 2 + 1, lane(8)]
    let x_5 = perm2(v1_5, v1_6, lane(16))
    let x_6 = perm2(v1_7, v1_8, lane(16))
    let x_7 = perm2(x_5, x_6, lane(16) * 2)
    let x_8 = perm2(x_5, x_6, lane(16) * 2 + 1)
    let acc = max(splat(f32(-inf), 16), x_3)
    let acc_2 = max(acc, x_4)
    let acc_3 = max(acc_2, x_7)
    let acc_4 = max(acc_3, x_8)
    y2[i0, i1, i2 * 4 * 4 + lane(16)] = acc_4
  }
}

kernel f_1_elementwise(B in 1..=2147483647; in v2: f32[48 * B], out y3: f32[48 * B]) {
  stage main(t < ((48 * B + 4095) // 4096)) {
    for j in t * 4096..min(48 * B, t * 4096 + 4096) vector 16 tail mask {
      let v2_2 = v2[j]
      let v3 = v2_2 + v2_2
      y3[j] = v3
    }
  }
}

kernel f_2_nest(B in 1..=2147483647; inout y4: f32[B, 3, 8, 8], in x1: f32[B, 3, 8, 8], in v3: f32[B, 3, 16]) {
  stage add(i0 < B, i1 < 3, i2 < 1) {
    let v1 = x1[i0, i1, i2 * 4 * 2, lane(8)]
    let v1_2 = x1[i0, i1, (i2 * 4 + 1) * 2, lane(8)]
    let v1_3 = x1[i0, i1, (i2 * 4 + 2) * 2, lane(8)]
    let v1_4 = x1[i0, i1, (i2 * 4 + 3) * 2, lane(8)]
    let x = perm2(v1, v1_2, lane(16))
    let x_2 = perm2(v1_3, v1_4, lane(16))
    let x_3 = perm2(x, x_2, lane(16) * 2)
    let x_4 = perm2(x, x_2, lane(16) * 2 + 1)
    let v1_5 = x1[i0, i1, i2 * 4 * 2 + 1, lane(8)]
    let v1_6 = x1[i0, i1, (i2 * 4 + 1) * 2 + 1, lane(8)]
    let v1_7 = x1[i0, i1, (i2 * 4 + 2) * 2 + 1, lane(8)]
    let v1_8 = x1[i0, i1, (i2 * 4 + 3) * 2 + 1, lane(8)]
    let x_5 = perm2(v1_5, v1_6, lane(16))
    let x_6 = perm2(v1_7, v1_8, lane(16))
    let x_7 = perm2(x_5, x_6, lane(16) * 2)
    let x_8 = perm2(x_5, x_6, lane(16) * 2 + 1)
    let win = x_3 > splat(f32(0.0), 16) || is_nan(x_3) && !is_nan(splat(f32(0.0), 16)) || splat(i32(-1), 16) < splat(i32(0), 16)
    let first = select(win, 0, splat(i32(-1), 16))
    let best = select(win, x_3, splat(f32(0.0), 16))
    let win_2 = x_4 > best || is_nan(x_4) && !is_nan(best) || first < splat(i32(0), 16)
    let first_2 = select(win_2, 1, first)
    let best_2 = select(win_2, x_4, best)
    let win_3 = x_7 > best_2 || is_nan(x_7) && !is_nan(best_2) || first_2 < splat(i32(0), 16)
    let first_3 = select(win_3, 2, first_2)
    let best_3 = select(win_3, x_7, best_2)
    let win_4 = x_8 > best_3 || is_nan(x_8) && !is_nan(best_3) || first_3 < splat(i32(0), 16)
    let first_4 = select(win_4, 3, first_3)
    let best_4 = select(win_4, x_8, best_3)
    let v3_2 = v3[i0, i1, i2 * 4 * 4 + lane(16)]
    let g = select(first_4 == 0, v3_2 + 0.0, 0.0)
    let g_2 = select(first_4 == 1, v3_2 + 0.0, 0.0)
    let y = perm2(g, g_2, lane(16) // 2 + lane(16) % 2 * 16)
    y4[i0, i1, i2 * 4 * 2, lane(8)] = perm(y, lane(8))
    y4[i0, i1, (i2 * 4 + 1) * 2, lane(8)] = perm(y, lane(8) + 8)
    let y_2 = perm2(g, g_2, lane(16) // 2 + lane(16) % 2 * 16 + 8)
    y4[i0, i1, (i2 * 4 + 2) * 2, lane(8)] = perm(y_2, lane(8))
    y4[i0, i1, (i2 * 4 + 3) * 2, lane(8)] = perm(y_2, lane(8) + 8)
    let g_3 = select(first_4 == 2, v3_2 + 0.0, 0.0)
    let g_4 = select(first_4 == 3, v3_2 + 0.0, 0.0)
    let y_3 = perm2(g_3, g_4, lane(16) // 2 + lane(16) % 2 * 16)
    y4[i0, i1, i2 * 4 * 2 + 1, lane(8)] = perm(y_3, lane(8))
    y4[i0, i1, (i2 * 4 + 1) * 2 + 1, lane(8)] = perm(y_3, lane(8) + 8)
    let y_4 = perm2(g_3, g_4, lane(16) // 2 + lane(16) % 2 * 16 + 8)
    y4[i0, i1, (i2 * 4 + 2) * 2 + 1, lane(8)] = perm(y_4, lane(8))
    y4[i0, i1, (i2 * 4 + 3) * 2 + 1, lane(8)] = perm(y_4, lane(8) + 8)
  }
}

