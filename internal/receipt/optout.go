package receipt

import (
	"context"
	"fmt"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// writersPage is how many apps are looked at in one step to find who wrote to a person.
const writersPage = 200

// opted does what a person said to a sender: no more messages, or messages again. To the sender of an app's own
// configuration it concerns that app; to one of the server level every app that has written to the person through it. Words
// count in the order in which they were said by the provider's clock, else in which they came in; to do one again changes nothing.
func (s *Service) opted(ctx context.Context, x *store.Receipt, r *provider.Report) error {
	ch := s.adapters[lower(x.Type)].Channel
	address, err := s.cfg.Recipient(ch, r.Address)
	if err != nil {
		s.unreadable.Add(1)
		return nil // nobody's address
	}
	w := store.Wish{Channel: ch, Address: address, Stop: r.Fate == comm.FateOptedOut, At: x.At}
	if said := comm.At(r.At); !r.At.IsZero() && said < x.At { // nobody says anything in the future
		w.At = said
	}
	if w.App = x.Owner; !w.App.IsZero() {
		return s.wish(ctx, w)
	}
	n := 0
	for after, first := (comm.ID{}), true; first || !after.IsZero(); first = false {
		var apps []comm.ID
		if apps, after, err = s.cfg.Store.Writers(ctx, x.Provider, address, after, writersPage); err != nil {
			return fmt.Errorf("look for who wrote to a person: %w", err)
		}
		for _, w.App = range apps {
			if err := s.wish(ctx, w); err != nil {
				return err
			}
		}
		n += len(apps)
	}
	if n == 0 {
		s.nobodys(ctx, x, w.Stop)
	}
	return nil
}

func (s *Service) wish(ctx context.Context, w store.Wish) error {
	if _, err := s.cfg.Lists.Wish(ctx, w); err != nil {
		return fmt.Errorf("a person's opt-out: %w", err)
	}
	return nil
}

// nobodys tells the operator of the word of a person to whom no app has written: there is no list that it could be put on.
func (s *Service) nobodys(ctx context.Context, x *store.Receipt, stop bool) {
	said := "START"
	if stop {
		said = "STOP"
	}
	if left, ok := s.strange.Speak(s.cfg.Now()); ok {
		s.cfg.Log.WarnContext(ctx, "somebody to whom no app has written answered a sender of the server's, which changes no list", "said", said,
			"provider", x.Type, "config", x.Provider.String(), "receipt", x.ID.String(), "unsaid", left)
	}
}
