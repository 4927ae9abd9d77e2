/** The shaders of points: size by the finest drawn spacing around; colour, confidence or origin. */
import { DIMMED, OWN_LIGHT } from '../core/provenance';

/** Diameter of a point in spacings: at 2 no hole is left in a level of least distance 1. */
export const COVERAGE = 1.8;

export const POINT_VERTEX = /* glsl */ `
precision highp float;
precision mediump sampler3D;
uniform mat4 modelMatrix;
uniform mat4 viewMatrix;
uniform mat4 projectionMatrix;
uniform sampler3D spacings;
uniform vec3 volumeLow;
uniform vec3 volumeScale;
uniform float coarsestPixels; // size at distance 1 of a point of the coarsest spacing
uniform vec2 sizeRange;
uniform float minConfidence;
in vec4 position; // grid x, y, z; confidence + 256 * provenance
in vec4 color;    // sRGB
flat out vec3 shade;
#if defined(HEAT) || defined(ORIGIN)
uniform sampler2D tables; // row 0: by confidence, row 1: by provenance
#endif
#ifdef REGION
uniform vec3 regionLow;
uniform vec3 regionHigh;
#endif

void main() {
  vec4 place = modelMatrix * vec4(position.xyz, 1.0);
  gl_Position = projectionMatrix * (viewMatrix * place);
  float confidence = mod(position.w, 256.0);
  if (confidence < minConfidence) gl_Position = vec4(0.0, 0.0, 2.0, 1.0);
  float steps = texture(spacings, (place.xyz - volumeLow) * volumeScale).r * 255.0;
  gl_PointSize = clamp(coarsestPixels * exp2(steps * -0.0625) / gl_Position.w, sizeRange.x, sizeRange.y);
#if defined(HEAT)
  shade = texelFetch(tables, ivec2(int(confidence), 0), 0).rgb;
#elif defined(ORIGIN)
  vec4 kind = texelFetch(tables, ivec2(int(position.w / 256.0), 1), 0);
  float light = dot(color.rgb, vec3(0.299, 0.587, 0.114));
  vec3 observed = mix(vec3(light), color.rgb, 0.25) * ${DIMMED};
  shade = mix(observed, kind.rgb * mix(1.0, 0.55 + 0.6 * light, ${OWN_LIGHT}), kind.a);
#else
  shade = color.rgb;
#endif
#ifdef REGION
  if (all(greaterThan(place.xyz, regionLow)) && all(lessThan(place.xyz, regionHigh)))
    shade = mix(shade, vec3(1.0, 0.32, 0.24), 0.62);
#endif
}
`;

export const POINT_FRAGMENT = /* glsl */ `
precision mediump float;
flat in vec3 shade;
out vec4 pixel;

void main() {
#ifdef ROUND
  vec2 away = gl_PointCoord - 0.5;
  if (dot(away, away) > 0.25) discard;
#endif
  pixel = vec4(shade, 1.0);
}
`;
