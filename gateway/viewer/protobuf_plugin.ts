/** Leaves out of protobuf what an app that speaks binary gRPC-Web alone never reaches: its JSON. */
import type { Plugin } from 'vite';

const JSON_MODULES = /@bufbuild\/protobuf\/dist\/esm\/(to|from)-json\.js$/;
const EXPORTS = /export function (\w+)/g;

/** Connect names the JSON functions beside the binary ones; called, they would say what is missing. */
export function binaryProtobuf(): Plugin {
  return {
    name: 'binary-protobuf',
    enforce: 'pre',
    apply: 'build',
    transform(code, id) {
      if (!JSON_MODULES.test(id.split('?')[0] ?? id)) return null;
      const names = [...code.matchAll(EXPORTS)].map(([, name]) => name ?? '');
      const missing = `const no = () => { throw new Error("this build speaks binary protobuf alone"); };`;
      return {
        code: [missing, ...names.map((name) => `export const ${name} = no;`)].join('\n'),
        map: null,
      };
    },
  };
}
