import js from "@eslint/js";
import vue from "eslint-plugin-vue";
import globals from "globals";
import ts from "typescript-eslint";

export default ts.config(
  { ignores: ["dist/", "src/api/schema.d.ts"] },
  js.configs.recommended,
  ...ts.configs.strict,
  ...vue.configs["flat/recommended"],
  {
    files: ["**/*.{ts,vue,js}"],
    languageOptions: {
      globals: { ...globals.browser },
      parserOptions: { parser: ts.parser, extraFileExtensions: [".vue"], sourceType: "module" },
    },
    rules: {
      // vue-tsc finds undefined names, and knows more.
      "no-undef": "off",
      // Layout of templates is left to the writer; these rules would fight readable one-liners.
      "vue/max-attributes-per-line": "off",
      "vue/singleline-html-element-content-newline": "off",
      "vue/html-self-closing": "off",
      "vue/html-indent": "off",
      "vue/html-closing-bracket-newline": "off",
      "vue/first-attribute-linebreak": "off",
      "vue/multiline-html-element-content-newline": "off",
      "vue/attributes-order": "off",
      "vue/require-default-prop": "off",
      "vue/block-lang": ["error", { script: { lang: "ts" } }],
      "vue/no-static-inline-styles": ["error", { allowBinding: true }],
      "vue/no-v-html": "error",
      "no-console": "error",
    },
  },
);
