import { defineConfig } from 'eslint/config';
import js from '@eslint/js';
import ts from 'typescript-eslint';

export default defineConfig(
  { ignores: ['dist', '.pages_cache', 'src/gen', 'node_modules'] },
  js.configs.recommended,
  ...ts.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // Typed arrays are read in loops that keep to their bounds; noUncheckedIndexedAccess asks for `!`.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
    },
  },
  { files: ['*.js', 'tests/**/*.mjs', 'tools/**/*.mjs'], extends: [ts.configs.disableTypeChecked] },
);
