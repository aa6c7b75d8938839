package console

import (
	"cmp"
	"slices"
)

// deed is something that is done to one thing, after it was confirmed: a row of the table of its kind.
type deed[T any] struct {
	Word, Name  string // in its path, and on what leads there
	Danger      bool   // something is destroyed, or stops
	may         act    // what it takes beside what its route does; "" for no more
	when        func(T) bool
	title, lead string
	points      []string
	also        func(T) []string                     // further points, by how it is now; nil for none
	ahead       func(v *visit, x T) (outlook, error) // what it means as things stand, in place of what the subject counts; nil for that
	typed       bool                                 // what the subject says has to be typed first
	button      string
	done        string // what is told afterwards
	ends        bool   // the thing is gone afterwards
	do          func(v *visit, x T) error
	shows       func(v *visit, x T) error // in place of do and done: it ends the visit, by a page of its own
}

// outlook is what a deed means as things stand now.
type outlook struct {
	Lead   string   // in place of the deed's own; "" for that
	Points []string // stand before the deed's own
	Typed  bool     // what the subject says has to be typed first
}

// subject is a thing that deeds are done to, and how its confirmations speak of it.
type subject[T any] struct {
	x      T
	name   string                    // what the sentence of a confirmation begins with; "" for nothing
	at     string                    // its page
	from   string                    // the page of the console to come back to; "" for its own
	list   string                    // where to go when it is gone
	acts   string                    // the path that the word of a deed is put behind
	query  string                    // and what follows that
	counts func(T) ([]string, error) // points that stand before the deed's own; nil for none
	typed  string                    // what is typed to confirm
	trail  []crumb
}

// back is where to go when nothing was done, or when it is still there.
func (s *subject[T]) back() string { return cmp.Or(s.from, s.at) }

// offered are the deeds that make sense now and that the role may do.
func offered[T any](v *visit, all []deed[T], x T) []deed[T] {
	return slices.DeleteFunc(slices.Clone(all), func(d deed[T]) bool { return !d.when(x) || !v.user.can(d.may) })
}

// theDeed finds the deed that the path names, if the role may do it.
func theDeed[T any](v *visit, all []deed[T], word string) (*deed[T], error) {
	at := slices.IndexFunc(all, func(d deed[T]) bool { return d.Word == word })
	if at < 0 {
		return nil, missing("page")
	}
	if !v.user.can(all[at].may) {
		return nil, forbidden(all[at].may)
	}
	return &all[at], nil
}

// foresee looks at what the deed means now.
func (d *deed[T]) foresee(v *visit, s *subject[T]) (o outlook, err error) {
	switch {
	case d.ahead != nil:
		o, err = d.ahead(v, s.x)
	case s.counts != nil:
		o.Points, err = s.counts(s.x)
	}
	o.Typed = o.Typed || d.typed
	return o, err
}

// askFor shows the page that asks before the deed is done. wrong is what was wrong with the last try.
func (d *deed[T]) askFor(v *visit, s *subject[T], wrong string) error {
	o, err := d.foresee(v, s)
	if err != nil {
		return err
	}
	x := confirmation{Title: d.title, Lead: cmp.Or(o.Lead, d.lead), Action: s.acts + d.Word + s.query, Button: d.button, Calm: !d.Danger, Back: s.back(), Trail: s.trail, Error: wrong}
	if x.Back != s.at {
		x.Fields = []hidden{{"from", x.Back}}
	}
	if s.name != "" {
		x.Lead = s.name + ": " + x.Lead
	}
	x.Points = slices.Concat(o.Points, d.points)
	if d.also != nil {
		x.Points = append(x.Points, d.also(s.x)...)
	}
	if o.Typed {
		x.Type = s.typed
	}
	return v.confirm(x)
}

// carryOut does the deed, unless what has to be typed was not. What has to be is looked at again: it may mean more by now than what was shown.
func (d *deed[T]) carryOut(v *visit, s *subject[T]) error {
	typed := d.typed
	if d.ahead != nil {
		o, err := d.foresee(v, s)
		if err != nil {
			return err
		}
		typed = o.Typed
	}
	if in := v.r.PostForm; typed && in.Get("confirm") != s.typed {
		if !in.Has("confirm") {
			return d.askFor(v, s, "It means more now than when you were asked. Nothing was changed.")
		}
		return d.askFor(v, s, "What was typed is not "+s.typed+". Nothing was changed.")
	}
	if d.shows != nil {
		return d.shows(v, s.x)
	}
	if err := d.do(v, s.x); err != nil {
		return v.undone(s.back(), err)
	}
	if d.ends {
		return v.done(s.list, d.done)
	}
	return v.done(s.back(), d.done)
}

// confirmDeed is the handler of the page that asks, and runDeed of the form on it. find reads what it is done to; it is asked for
// after the role was looked at.
func confirmDeed[T any](v *visit, all []deed[T], word string, find func() (*subject[T], error)) error {
	return atDeed(v, all, word, find, func(d *deed[T], s *subject[T]) error { return d.askFor(v, s, "") })
}

func runDeed[T any](v *visit, all []deed[T], word string, find func() (*subject[T], error)) error {
	return atDeed(v, all, word, find, func(d *deed[T], s *subject[T]) error { return d.carryOut(v, s) })
}

func atDeed[T any](v *visit, all []deed[T], word string, find func() (*subject[T], error), then func(*deed[T], *subject[T]) error) error {
	d, err := theDeed(v, all, word)
	if err != nil {
		return err
	}
	s, err := find()
	if err != nil {
		return err
	}
	return then(d, s)
}
