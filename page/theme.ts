// Light and dark: what the system prefers, until the reader says otherwise. Colours of the canvas come from the style sheet.

import { interpolateCividis } from 'd3-scale-chromatic';
import type { OwnerKind } from '../lib/cli/data.js';
import { OWNERS } from './owners.js';

export type ThemeName = 'light' | 'dark';

export interface Theme {
  name: ThemeName;
  ink: string;
  faint: string;
  line: string;
  ground: string;
  band: string;
  accent: string;
  warn: string;
  bad: string;
  owner(kind: OwnerKind): string;
  /** 0 to 1: nothing of it to all of it. The root makes small shares visible. */
  heat(share: number): string;
  access(protection: string): string;
}

const prefersDark = window.matchMedia('(prefers-color-scheme: dark)');
let chosen: ThemeName | undefined;

export const themeName = (): ThemeName => chosen ?? (prefersDark.matches ? 'dark' : 'light');

export function chooseTheme(name: ThemeName): void {
  chosen = name;
  document.documentElement.dataset['theme'] = name;
}

export function onPreferenceChange(changed: () => void): void {
  prefersDark.addEventListener('change', changed);
}

const ACCESS: Readonly<Record<string, readonly [string, string]>> = {
  'rw-': ['#0072b2', '#3d9fe0'],
  'r--': ['#7fb0c8', '#5e8ba3'],
  'r-x': ['#009e73', '#2fc597'],
  '--x': ['#009e73', '#2fc597'],
  rwx: ['#c2185b', '#ff6fa5'],
  '---': ['#b8bcc4', '#565c68'],
};

export function readTheme(): Theme {
  const name = themeName();
  const style = getComputedStyle(document.documentElement);
  const colour = (variable: string) => style.getPropertyValue(`--${variable}`).trim();
  return {
    name,
    ink: colour('ink'),
    faint: colour('faint'),
    line: colour('line'),
    ground: colour('ground'),
    band: colour('band'),
    accent: colour('accent'),
    warn: colour('warn'),
    bad: colour('bad'),
    owner: (kind) => OWNERS[kind][name],
    heat: (share) => interpolateCividis(Math.sqrt(Math.min(1, Math.max(0, share)))),
    access: (protection) => (ACCESS[protection] ?? ['#777777', '#aaaaaa'])[name === 'dark' ? 1 : 0],
  };
}
