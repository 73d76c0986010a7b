package predicate

import (
	"errors"
	"strconv"
	"strings"
	"testing"
)

// TestPrinted: what jsonb is made of each type's values, and other values that are computed, print as on the server.
func TestPrinted(t *testing.T) {
	for _, version := range []int{15, 18} {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, version, 60, uint64(version))
			compared := 0
			for _, s := range samples {
				for _, form := range []string{"to_jsonb(@)", "jsonb_build_array(@, null, 'x', @)", "jsonb_build_object('k', @, 'k', true)", "jsonb_build_object(@, 1, 'long', @)"} {
					compared += w.comparePrinted(t, strings.ReplaceAll(form, "@", s.column))
				}
			}
			for _, expression := range []string{
				"iv * 0.1", "iv * 1.1", "0.7 * iv", "iv * -3.14159", "iv * f8", "i4 * iv", "iv * 1e9", "iv * 'NaN'", "n::float8 * iv", "iv * (1.0 / 7)", "(iv * 0.3) * 0.3",
				"jb['a']", "jb['a']['b'][1]", "jb[0]", "jb[i2]", "jb[t]", "jba[1]", "array(select jsonb_array_elements_text(jb))",
			} {
				compared += w.comparePrinted(t, expression)
			}
			if compared < 4000 {
				t.Errorf("compared %d values", compared)
			}
		})
	}
}

// comparePrinted compares an expression's text for each row and tells for how many.
func (w *world) comparePrinted(t *testing.T, expression string) (compared int) {
	t.Helper()
	if _, err := Compile("("+expression+") is null", w.relation, Options{}); err != nil {
		var e *Error
		if !errors.As(err, &e) || !e.Refused {
			t.Errorf("%s: %v", expression, err)
		}
		return 0
	}
	for i, row := range w.rows {
		want, err := w.answers(t.Context(), "select coalesce(("+expression+")::text, 'no value') from shop.t where id = "+strconv.Itoa(i+1))
		text := "(" + expression + ") is null"
		if err == nil && want[0] != "no value" {
			text = "(" + expression + ")::text = " + quote(want[0])
		}
		p, compileErr := Compile(text, w.relation, Options{})
		if compileErr != nil {
			t.Fatal(compileErr)
		}
		b, bindErr := p.Bind(nil, nil)
		if bindErr != nil {
			t.Fatal(bindErr)
		}
		got, fault := b.Eval(row)
		if fault != nil && fault.inexact() {
			continue
		}
		if (err == nil) != (got == True) || err != nil && got != Failed {
			t.Errorf("row %d: %s: got %v %v, want %v", i+1, text, got, fault, err)
		}
		compared++
	}
	return compared
}
