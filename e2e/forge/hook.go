package forge

import (
	"context"
	"fmt"
	"net/http"
)

// Hook is a webhook of a repository.
type Hook struct {
	// URL to deliver to, on loopback.
	URL string
	// Secret that signs what is delivered.
	Secret string
	// Events, in Gitea's words: HookEvents if there are none.
	Events []string
}

// HookEvents are those of pushes, of pull requests (opened, edited, closed, merged; labels; a head
// that has moved), of reviews, and of comments.
var HookEvents = []string{
	"push",
	"pull_request", "pull_request_label", "pull_request_sync", "pull_request_comment",
	"pull_request_review", "pull_request_review_request",
}

// Hook adds a webhook in the name of the user, who must administer the repository, and returns its
// number.
func (r *Repo) Hook(ctx context.Context, as *User, h Hook) (number int64, err error) {
	if len(h.Events) == 0 {
		h.Events = HookEvents
	}
	var made struct{ ID int64 }
	err = as.Call(ctx, http.MethodPost, r.path("/hooks"), map[string]any{
		"type": "gitea", "active": true, "events": h.Events,
		"config": map[string]string{"url": h.URL, "content_type": "json", "secret": h.Secret},
	}, &made)
	return made.ID, err
}

// Delivery is one attempt to deliver a hook. Gitea makes no second one by itself.
type Delivery struct {
	// ID is the header X-Gitea-Delivery.
	ID string
	// Event, as in Hook.Events.
	Event string
	// Tried tells whether it has been tried, with whatever end.
	Tried bool
	// Succeeded tells whether the answer was a good one.
	Succeeded bool
	// Status of the answer: 0 if there was none.
	Status int
	// Body that was sent.
	Body string
}

// Deliveries are the last 100 of a hook, oldest first.
func (s *Server) Deliveries(ctx context.Context, hook int64) (list []Delivery, err error) {
	err = s.door(ctx, http.MethodGet, fmt.Sprintf("/deliveries/%d", hook), nil, &list)
	return list, err
}
