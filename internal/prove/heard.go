package prove

import (
	"maps"
	"slices"
	"time"
)

// webhooks holds what was told to what is to be told.
func (c *checker) webhooks() {
	for _, e := range c.ev.Entries {
		for id := range e.IDs {
			if m := c.ev.Messages[id]; m != nil {
				c.toldOf(e, m)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.ev.Heard)) {
		h := c.ev.Heard[id]
		if c.f.Posts += h.Copies; h.Waits {
			c.f.Waiting++
		}
		if h.Bodies > 1 {
			c.fail("J8", "%s was posted with %d bodies", id, h.Bodies)
		}
		if h.Strange != "" {
			c.fail("J8", "%s: %s", id, h.Strange)
		}
	}
	c.spread()
}

// toldOf checks a message's events.
func (c *checker) toldOf(of *Entry, m *Message) {
	for i := range m.Events {
		e := &m.Events[i]
		if !e.told() {
			continue
		}
		h := c.ev.Heard[m.eventID(e)]
		if of.App >= len(c.ev.Hooked) || !c.ev.Hooked[of.App] { // evidence may know of no webhooks at all
			if h != nil {
				c.fail("J7", "%s was told, and its app has no webhook", m.eventID(e))
			}
			continue
		}
		c.f.Told++
		switch {
		case h == nil:
			c.fail("J8", "%s (%s) was told to nobody, and nothing waits", m.eventID(e), *e.To)
		case h.App != of.App:
			c.fail("J7", "%s was told to another app", m.eventID(e))
		}
	}
}

// enough is how many waits of one sort say whether they are spread.
const enough = 12

// spread wants the waits after the same number of tries to differ: by a tenth at least, where they are spread by a
// fifth either way.
func (c *checker) spread() {
	byTries := map[int][]time.Duration{}
	for _, w := range c.ev.Waits {
		byTries[w.Tries] = append(byTries[w.Tries], w.After)
	}
	for tries, all := range byTries {
		slices.Sort(all)
		if longest := all[len(all)-1]; len(all) >= enough && longest-all[0] < longest/10 {
			c.fail("I14", "%d deliveries wait between %s and %s after their try %d: all would come together", len(all), all[0], longest, tries)
		}
	}
}
