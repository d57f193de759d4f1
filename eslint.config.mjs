import js from '@eslint/js';
import { defineConfig } from 'eslint/config';
import ts from 'typescript-eslint';

const typescript = ['lib/**/*.ts', 'test/**/*.ts', 'page/**/*.ts'];

const forbidden = (selector, message) => ({ selector, message });
const notOurTypeScript = [
  forbidden('TSEnumDeclaration', 'Use a union of strings, or a const object.'),
  forbidden('TSModuleDeclaration', 'A module is a file.'),
];
// A default has as many names as it has importers.
const defaultExport = forbidden('ExportDefaultDeclaration', 'Export by name.');

const tooManyParameters = [
  'ExportNamedDeclaration > FunctionDeclaration[params.length>3]',
  'ExportNamedDeclaration > VariableDeclaration > VariableDeclarator > ArrowFunctionExpression[params.length>3]',
  'ExportNamedDeclaration > ClassDeclaration > ClassBody > MethodDefinition:not([key.type="PrivateIdentifier"]) > FunctionExpression[params.length>3]',
].map((selector) => forbidden(selector, 'Three parameters, then an options object.'));

export default defineConfig(
  {
    ignores: [
      '.build/',
      'bench/peers/',
      'build/',
      'coverage/',
      'dist/',
      'docs/api/',
      'prebuilds/',
      'vendor/',
    ],
  },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  {
    // lint:types knows every name, the globals of Node too.
    files: ['**/*.{mjs,cjs,js}'],
    rules: { 'no-undef': 'off' },
  },
  {
    files: typescript,
    extends: [ts.configs.strictTypeChecked, ts.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { project: './tsconfig.check.json', tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      // It asks for the `!` that the strict rules forbid.
      '@typescript-eslint/non-nullable-type-assertion-style': 'off',
      eqeqeq: 'error',
      'no-restricted-syntax': ['error', ...notOurTypeScript, defaultExport],
    },
  },
  {
    files: ['lib/**/*.ts'],
    rules: {
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      'max-lines': ['error', { max: 300, skipBlankLines: true, skipComments: true }],
      'no-restricted-imports': [
        'error',
        { paths: [{ name: 'node-gyp-build', message: 'lib/binding.ts is the one door to C++.' }] },
      ],
      'no-restricted-syntax': ['error', ...notOurTypeScript, defaultExport, ...tooManyParameters],
    },
  },
  {
    files: ['page/**/*.ts'],
    languageOptions: {
      parserOptions: { project: './tsconfig.page.json', tsconfigRootDir: import.meta.dirname },
    },
    rules: { 'max-lines': ['error', { max: 300, skipBlankLines: true, skipComments: true }] },
  },
  { files: ['lib/binding.ts'], rules: { 'no-restricted-imports': 'off' } },
  {
    // The calls of sys have the parameters of the system's.
    files: ['lib/sys.ts', 'lib/binding.ts', 'lib/shared/wait.ts'],
    rules: { 'no-restricted-syntax': ['error', ...notOurTypeScript, defaultExport] },
  },
  {
    // What a child printed and what a test hands in on purpose has no type worth having.
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
);
