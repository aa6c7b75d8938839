package client

import (
	"context"
	"fmt"
	"time"
)

// DeliveryWait says what WaitForDelivery waits for.
type DeliveryWait struct {
	// Until is DELIVERED, which "" stands for: until it is reported that the message arrived, which needs a provider that
	// reports; or SENT: until nothing more is tried.
	Until string
	// Timeout is how long; 0: a minute.
	Timeout time.Duration
	// After is a cursor from before the message was sent: with it the stream of events is followed instead of
	// asking again and again.
	After string
}

// WaitError is the error of WaitForDelivery when the time is up.
type WaitError struct {
	Timeout time.Duration
	Last    *Stored // as it was read last; nil: never
}

func (e *WaitError) Error() string {
	switch {
	case e.Last == nil:
		return fmt.Sprintf("the message could not be read within %s", e.Timeout)
	case e.Last.Status == "SENT":
		return fmt.Sprintf("the message is SENT after %s, and nobody has reported that it arrived; with Until SENT this is enough", e.Timeout)
	}
	return fmt.Sprintf("the message is %s after %s", e.Last.Status, e.Timeout)
}

// Unwrap makes it a context.DeadlineExceeded.
func (e *WaitError) Unwrap() error { return context.DeadlineExceeded }

// Pauses between the questions of WaitForDelivery.
const (
	firstPoll   = 250 * time.Millisecond
	longestPoll = 5 * time.Second
	usualWait   = time.Minute
)

// WaitForDelivery waits until it is known what became of a message, and answers it: delivered, or FAILED, SUPPRESSED
// or CANCELLED, which is no error. The error is a *WaitError when the time is up. In the sandbox only some recipients
// come to DELIVERED: see DeliveryWait.Until.
func (c *Client) WaitForDelivery(ctx context.Context, id string, w DeliveryWait) (*Stored, error) {
	if w.Timeout <= 0 {
		w.Timeout = usualWait
	}
	limited, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	last, err := c.waitForDelivery(limited, id, w)
	if limited.Err() != nil && ctx.Err() == nil && err != nil {
		return nil, &WaitError{w.Timeout, last}
	}
	if err != nil {
		return nil, err
	}
	return last, nil
}

// waitForDelivery answers the message as it was read last beside an error, too.
func (c *Client) waitForDelivery(ctx context.Context, id string, w DeliveryWait) (*Stored, error) {
	last, err := c.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if w.After != "" && !over(last.Status, w.Until) {
		for e, err := range c.Follow(ctx, w.After) {
			if err != nil {
				return last, err
			}
			if e.Message.ID == id && over(e.Message.Status, w.Until) {
				break
			}
		}
		if last, err = c.again(ctx, id, last); err != nil {
			return last, err
		}
	}
	for pause := firstPoll; !over(last.Status, w.Until); pause = min(pause*3/2, longestPoll) {
		if err := sleep(ctx, pause); err != nil {
			return last, err
		}
		if last, err = c.again(ctx, id, last); err != nil {
			return last, err
		}
	}
	return last, nil
}

// again reads the message, and answers what is known of it beside an error.
func (c *Client) again(ctx context.Context, id string, last *Stored) (*Stored, error) {
	next, err := c.Get(ctx, id)
	if err != nil {
		return last, err
	}
	return next, nil
}

// over says that a message in this status is no longer waited for.
func over(status, until string) bool {
	switch status {
	case "DELIVERED", "FAILED", "SUPPRESSED", "CANCELLED":
		return true
	case "SENT":
		return until == "SENT"
	}
	return false
}
