package main

import (
	"encoding/json"
	"net"
	"net/http"
	"strconv"

	"code.gitea.io/gitea/models/user"
	"code.gitea.io/gitea/models/webhook"
	"code.gitea.io/gitea/modules/optional"
)

// serveDoor serves what Gitea has on its pages or its command line alone: its first administrator,
// and the deliveries of a webhook.
func serveDoor(socket string) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	door := http.NewServeMux()
	door.HandleFunc("POST /administrator", createAdministrator)
	door.HandleFunc("GET /deliveries/{hook}", listDeliveries)
	return http.Serve(listener, door)
}

func createAdministrator(w http.ResponseWriter, r *http.Request) {
	administrator := &user.User{IsAdmin: true, Name: r.FormValue("name"), Email: r.FormValue("email"), Passwd: r.FormValue("password")}
	if err := user.CreateUser(r.Context(), administrator, &user.Meta{}, &user.CreateUserOverwriteOptions{IsActive: optional.Some(true)}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// delivery is one attempt, in the words of forge.Delivery.
type delivery struct {
	ID        string
	Event     string
	Tried     bool
	Succeeded bool
	Status    int
	Body      string
}

// listDeliveries answers with the newest 100 of a hook, oldest first.
func listDeliveries(w http.ResponseWriter, r *http.Request) {
	hook, err := strconv.ParseInt(r.PathValue("hook"), 10, 64)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	tasks, err := webhook.HookTasks(r.Context(), hook, 1)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	list := make([]delivery, len(tasks))
	for i, t := range tasks { // newest first
		d := delivery{ID: t.UUID, Event: string(t.EventType), Tried: t.RequestInfo != nil, Succeeded: t.IsSucceed, Body: t.PayloadContent}
		if t.ResponseInfo != nil {
			d.Status = t.ResponseInfo.Status
		}
		list[len(tasks)-1-i] = d
	}
	_ = json.NewEncoder(w).Encode(list) // the reader has gone
}
