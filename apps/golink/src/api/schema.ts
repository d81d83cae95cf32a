// The part of JSON Schema that the API describes itself with, and a check of values against it.
import { isKeepable } from '../links.ts';

export type Schema =
  | {
      readonly type: 'object';
      readonly properties: Readonly<Record<string, Schema>>;
      readonly required?: readonly string[];
      readonly description?: string;
    }
  | {
      readonly type: 'array';
      readonly items: Schema;
      readonly maxItems?: number;
      readonly description?: string;
    }
  | {
      readonly type: 'string';
      readonly enum?: readonly string[];
      readonly maxLength?: number;
      readonly format?: 'date-time';
      readonly description?: string;
    }
  | {
      readonly type: 'integer';
      readonly minimum?: number;
      readonly maximum?: number;
      readonly description?: string;
    }
  | { readonly type: 'boolean'; readonly description?: string };

export type ObjectSchema = Extract<Schema, { readonly type: 'object' }>;

/** What is wrong with the value, as the end of a sentence; undefined: nothing. */
export function mismatch(schema: Schema, value: unknown, name = 'the body'): string | undefined {
  switch (schema.type) {
    case 'object':
      return objectMismatch(schema, value, name);
    case 'array': {
      if (!Array.isArray(value)) return `${name} must be a list`;
      if (schema.maxItems !== undefined && value.length > schema.maxItems)
        return `${name} may have at most ${schema.maxItems} entries`;
      for (const [i, item] of value.entries()) {
        const wrong = mismatch(schema.items, item, `${name}[${i}]`);
        if (wrong !== undefined) return wrong;
      }
      return undefined;
    }
    case 'string':
      if (typeof value !== 'string') return `${name} must be text`;
      if (!isKeepable(value)) return `${name} has a NUL or half a character in it`;
      if (schema.enum !== undefined && !schema.enum.includes(value))
        return `${name} must be one of ${schema.enum.join(', ')}`;
      if (schema.maxLength !== undefined && value.length > schema.maxLength)
        return `${name} may have at most ${schema.maxLength} characters`;
      if (schema.format === 'date-time' && !isTime(value))
        return `${name} must be a time as in 2026-01-31T08:00:00Z`;
      return undefined;
    case 'integer':
      if (!Number.isSafeInteger(value)) return `${name} must be a whole number`;
      if (schema.minimum !== undefined && (value as number) < schema.minimum)
        return `${name} must be at least ${schema.minimum}`;
      if (schema.maximum !== undefined && (value as number) > schema.maximum)
        return `${name} must be at most ${schema.maximum}`;
      return undefined;
    case 'boolean':
      return typeof value === 'boolean' ? undefined : `${name} must be true or false`;
  }
}

function isTime(text: string): boolean {
  const form = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)$/;
  return form.test(text) && !Number.isNaN(Date.parse(text));
}

function objectMismatch(schema: ObjectSchema, value: unknown, name: string): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return `${name} must be an object`;
  for (const key of schema.required ?? [])
    if (!Object.hasOwn(value, key)) return `${key} is missing`;
  for (const [key, field] of Object.entries(value)) {
    if (!Object.hasOwn(schema.properties, key)) return `${key} is not known here`;
    const wrong = mismatch(schema.properties[key]!, field, key);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}
