package console

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A form of changes remembers what it showed, so that saving it sends no more than what was edited: an old tab undoes nothing that
// it does not speak of. A field that was edited here and elsewhere is not saved before who saves it has seen the other's.

// shownKey begins the names of the hidden fields that say what was shown.
const shownKey = "was-"

// mark stands for a value of a field, in a few bytes however long it is. Browsers send line breaks of their own kind.
func mark(values ...string) string {
	sum := sha256.Sum256([]byte(unixLines(strings.Join(values, "\x00"))))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// mark is that of what the field holds.
func (f *field) mark() string {
	if f.Kind == manyField {
		return mark(slices.Sorted(slices.Values(f.Values))...)
	}
	return mark(f.Value)
}

// sentMark is that of what was sent for it.
func (f *field) sentMark(sent url.Values) string {
	if f.Kind == manyField {
		return mark(slices.Sorted(slices.Values(sent[f.Name]))...)
	}
	return mark(sent.Get(f.Name))
}

// remembering makes the form say what it shows. Secrets are not shown: an empty one is left as it is.
func (f *form) remembering() *form {
	for i := range f.Fields {
		if one := &f.Fields[i]; one.Kind != secretField {
			f.Hidden = append(f.Hidden, hidden{shownKey + one.Name, one.mark()})
		}
	}
	return f
}

// edits are the names of the fields that were edited.
type edits map[string]bool

// changedMeanwhile is said above a form of which another change came between.
const changedMeanwhile = "It was changed meanwhile, and nothing is saved. Your entries are still here: look, and save again."

// edited reads what was sent into a remembering form of what is stored now. It answers which fields were edited, and false where
// one of them was changed meanwhile by somebody else: the form then says so, and can be saved over that.
func (f *form) edited(sent url.Values) (edits, bool) {
	out, ok := edits{}, true
	for i := range f.Fields {
		one := &f.Fields[i]
		if one.Kind == secretField {
			out[one.Name] = sent.Get(one.Name) != ""
			continue
		}
		was, now, is := sent.Get(shownKey+one.Name), one.mark(), one.sentMark(sent)
		if is == was {
			continue // what is stored is shown again
		}
		out[one.Name] = is != now
		if was != now && is != now {
			ok, one.Error = false, one.stored()
		}
		one.Value, one.Values = sent.Get(one.Name), sent[one.Name]
	}
	if !ok {
		f.Error = changedMeanwhile
	}
	return out, ok
}

// longestStored bounds what is said of a value beside its field, in bytes.
const longestStored = 200

// stored says what a field holds, for who wanted to write something else there.
func (f *field) stored() string {
	value := f.Value
	for _, one := range f.Choose {
		if one.Value == value && f.Kind == choiceField {
			value = one.Name
		}
	}
	switch {
	case f.Kind == manyField:
		value = strings.Join(f.Values, ", ")
	case f.Kind == checkField && value == "on":
		value = "ticked"
	case f.Kind == checkField:
		value = "not ticked"
	}
	if value == "" {
		return "It is empty now."
	}
	if len(value) > longestStored {
		return "It holds another text now: open the page once more beside this one to read it."
	}
	return "It is now: " + value
}

// only takes out of a change what was not edited. The names of its members are those of the fields behind prefix.
func (e edits) only(change map[string]any, prefix string) map[string]any {
	for name := range change {
		if !e[prefix+name] {
			delete(change, name)
		}
	}
	return change
}

// unedited ends a POST of a form in which nothing was edited.
func (v *visit) unedited(to string) error {
	return v.done(to, "Nothing was edited, and nothing changed.")
}

// stale is the status of a form that another change came before.
const stale = http.StatusConflict
