# A fn is a macro: its arguments and lets become let statements.
fn twice(x) {
  let u = x * x
  return u + u
}
kernel k(; in x: f32[8], out y: f32[8]) {
  stage main(i < 8) { y[i] = twice(x[i] + 1.0) }
}
---
kernel k(; in x: f32[8], out y: f32[8]) {
  stage main(i < 8) {
    let x_2 = x[i] + 1.0
    let u = x_2 * x_2
    y[i] = u + u
  }
}
