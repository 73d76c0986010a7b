package triggers

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Function is one of schema relay.
type Function struct {
	Name string
	// Body is pg_proc.prosrc.
	Body string
	// Settings are the names of those that it pins.
	Settings []string
}

// Equal tells that two functions do the same, whatever the case and the order of their settings' names.
func (f Function) Equal(o Function) bool {
	return f.Name == o.Name && f.Body == o.Body && slices.Equal(lower(f.Settings), lower(o.Settings))
}

func lower(names []string) []string {
	sorted := make([]string, len(names))
	for i, name := range names {
		sorted[i] = strings.ToLower(name)
	}
	slices.Sort(sorted)
	return sorted
}

// text finds the functions that install.sql makes: name, head, body.
var text = regexp.MustCompile(`(?s)create or replace function relay\.(\w+)\((.*?)\bas \$\$(.*?)\$\$`)

var pinned = regexp.MustCompile(`\bset (\w+) = `)

// Functions are those of schema relay as install.sql makes them.
func Functions() []Function { return slices.Clone(installed()) }

var installed = sync.OnceValue(func() (all []Function) {
	for _, m := range text.FindAllStringSubmatch(Install(""), -1) {
		f := Function{Name: m[1], Body: m[3]}
		for _, s := range pinned.FindAllStringSubmatch(m[2], -1) {
			f.Settings = append(f.Settings, s[1])
		}
		all = append(all, f)
	}
	return all
})
