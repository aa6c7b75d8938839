package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/story"
)

// form is what the part "fields" shows. Its fields are data, so that one part renders every form.
type form struct {
	Fields []field
	Error  string // of the whole form
	// Lost are words of the API about what no field of the form stands for.
	Lost []string
	// Hidden goes along with it as it was shown.
	Hidden []hidden
}

// Kinds of fields.
const (
	textField   = "text"
	numberField = "number"
	secretField = "password"
	urlField    = "url"
	emailField  = "email"
	longField   = "textarea"
	choiceField = "select"
	checkField  = "checkbox"
	manyField   = "checkboxes"
	momentField = "datetime-local"
)

// field is one input.
type field struct {
	Name   string // of the input, and of the API's field unless Path is set
	Path   string // in details.fields of the API; what begins with it and a dot or bracket is its too
	Label  string
	Kind   string // textField and so on
	Value  string
	Values []string // chosen ones of manyField
	Help   string
	Suffix string // a unit after the input
	Must   bool
	Mono   bool
	Rows   int // of longField
	Min    string
	Max    string
	Length int    // in characters; 0: no limit
	Hint   string // placeholder
	Fill   string // autocomplete; "off" where it is empty
	Choose []choice
	Error  string
}

type choice struct{ Value, Name, Help string }

// ID is the input's id in the page.
func (f *field) ID() string {
	return "f-" + strings.NewReplacer(".", "-", "[", "-", "]", "").Replace(f.Name)
}

// Chosen says whether a choice is taken.
func (f *field) Chosen(value string) bool {
	return slices.Contains(f.Values, value) || f.Value == value && f.Kind != manyField
}

// Described is what aria-describedby names.
func (f *field) Described() string {
	var out []string
	if f.Help != "" {
		out = append(out, f.ID()+"-help")
	}
	if f.Error != "" {
		out = append(out, f.ID()+"-error")
	}
	return strings.Join(out, " ")
}

// Wrong are the fields with an error, for the summary above the form.
func (f *form) Wrong() []*field {
	var out []*field
	for i := range f.Fields {
		if f.Fields[i].Error != "" {
			out = append(out, &f.Fields[i])
		}
	}
	return out
}

// take puts what was sent into the fields, so that a refused form is shown as it was filled in. Secrets are not shown again.
func (f *form) take(sent url.Values) {
	for i := range f.Fields {
		one := &f.Fields[i]
		if one.Kind != secretField {
			one.Value, one.Values = sent.Get(one.Name), sent[one.Name]
		}
	}
}

// lookAgain is said above a form with fields that are wrong.
const lookAgain = "Look at these again; nothing was changed."

// blame puts the API's words beside the fields that they are about, and answers whether the error is one that a form can show.
func (f *form) blame(err error) bool {
	var e *client.Error
	if !errors.As(err, &e) || e.Status < http.StatusBadRequest || e.Status >= http.StatusInternalServerError || e.Status == http.StatusUnauthorized {
		return false
	}
	f.Error = e.Message
	if len(e.Fields) > 0 { // they say more than the sentence for programs
		f.Error = lookAgain
	}
	for path, why := range e.Fields {
		if one := f.about(path); one != nil {
			one.Error = strings.TrimSpace(one.Error + " " + sentence(why))
		} else {
			f.Lost = append(f.Lost, path+": "+why)
		}
	}
	return true
}

// lacks says beside a field that something of it has to be chosen, where nothing was: the API would take the usual choice.
func (f *form) lacks(sent url.Values, name string) bool {
	if len(sent[name]) > 0 {
		return false
	}
	f.Error, f.about(name).Error = lookAgain, "Choose at least one."
	return true
}

func (f *form) about(path string) *field {
	for i := range f.Fields {
		one := &f.Fields[i]
		name := one.Path
		if name == "" {
			name = one.Name
		}
		if path == name || strings.HasPrefix(path, name+".") || strings.HasPrefix(path, name+"[") {
			return one
		}
	}
	return nil
}

// sentence begins with a capital and ends with a full stop.
func sentence(s string) string {
	if s == "" {
		return s
	}
	s = story.Capital(s)
	if !strings.ContainsAny(s[len(s)-1:], ".!?") {
		s += "."
	}
	return s
}

// refused ends a POST whose form the API did not take: the page is shown again by again, with the API's words.
func (v *visit) refused(err error, f *form, again func(status int) error) error {
	if !f.blame(err) {
		return err
	}
	var e *client.Error
	errors.As(err, &e)
	return again(e.Status)
}
