// Draws what a person's camera sees, as the .y4m file that Chromium's fake
// camera plays: a room and somebody nodding in it. Called by
// t/lib/Edge/Browser.pm: node camera.js FILE HUE (0..359).
'use strict';

const fs = require('fs');

const width = 480, height = 272, frames = 15, fps = 10;

function yuv(hue, saturation, light) {
  const a = saturation * Math.min(light, 1 - light);
  const channel = (n) => {
    const k = (n + hue / 30) % 12;
    return light - a * Math.max(-1, Math.min(k - 3, 9 - k, 1));
  };
  const [r, g, b] = [channel(0), channel(8), channel(4)];
  const y = 0.299 * r + 0.587 * g + 0.114 * b;
  return [16 + 219 * y, 128 + 224 * 0.564 * (b - y),
    128 + 224 * 0.713 * (r - y)];
}

// 1 inside the ellipse, 0 outside, soft at its edge.
function ellipse(x, y, cx, cy, rx, ry) {
  const d = Math.hypot((x - cx) / rx, (y - cy) / ry);
  return d >= 1 ? 0 : Math.min(1, (1 - d) * Math.min(rx, ry) / 1.5);
}

function mix(a, b, t) {
  return t === 0 ? a : a.map((v, i) => v + (b[i] - v) * t);
}

function room(x, y, { wall, dark, lamp }) {
  const c = mix(wall, dark, Math.hypot(x - 150, y - 67) / 420);
  return mix(c, lamp, 0.7 * Math.exp(-Math.hypot(x - 375, y - 52) / 52));
}

function somebody(c, x, y, nod, colors) {
  const { shirt, skin, neck, hair, eye, mouth, long } = colors;
  const cx = width / 2 + nod.x, head = 129 + nod.y;
  const shape = (color, dx, cy, rx, ry) => {
    c = mix(c, color, ellipse(x, y, cx + dx, cy, rx, ry));
  };
  if (y < 30 || Math.abs(x - cx) > 120) {
    return c;
  }
  shape(hair, 0, head - 14 + (long ? 26 : 0), long ? 62 : 52, long ? 92 : 58);
  shape(shirt, 0, 294, 112, 99);
  shape(neck, 0, 188, 22, 36);
  shape(skin, 0, head, 43, 52);
  shape(hair, long ? -14 : 0, head - 48, long ? 34 : 42, long ? 20 : 16);
  shape(eye, -16, head - 4, 4, 5);
  shape(eye, 16, head - 4, 4, 5);
  shape(mouth, 0, head + 25, 12, 6);
  shape(skin, 0, head + 21, 14, 6);
  return c;
}

function frame(n, background, colors) {
  const turn = 2 * Math.PI * n / frames;
  const nod = { x: 7 * Math.sin(turn), y: 4 * Math.sin(2 * turn) };
  const planes = Buffer.alloc(width * height * 3 / 2);
  const [u, v] = [width * height, width * height * 5 / 4];
  for (let i = 0; i < width * height; i++) {
    const x = i % width, y = (i - x) / width;
    const c = somebody(background[i], x, y, nod, colors);
    planes[i] = c[0];
    if (x % 2 === 0 && y % 2 === 0) {
      const at = y / 2 * width / 2 + x / 2;
      planes[u + at] = c[1];
      planes[v + at] = c[2];
    }
  }
  return Buffer.concat([Buffer.from('FRAME\n'), planes]);
}

const [, , file, hue] = process.argv;
const colors = {
  wall: yuv(+hue, 0.30, 0.62), dark: yuv(+hue, 0.35, 0.28),
  lamp: yuv(45, 0.9, 0.85), shirt: yuv((+hue + 170) % 360, 0.45, 0.42),
  skin: yuv(24, 0.5, 0.72), neck: yuv(22, 0.42, 0.62),
  hair: yuv(+hue % 50, 0.4, 0.16 + +hue / 3000), eye: yuv(210, 0.3, 0.15),
  mouth: yuv(5, 0.4, 0.42), long: +hue > 90 && +hue < 300,
};
const background = Array.from({ length: width * height },
  (_, i) => room(i % width, Math.floor(i / width), colors));
fs.writeFileSync(file, Buffer.concat([
  Buffer.from(`YUV4MPEG2 W${width} H${height} F${fps}:1 Ip A1:1 C420jpeg\n`),
  ...Array.from({ length: frames },
    (_, n) => frame(n, background, colors))]));
