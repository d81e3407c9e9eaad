package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// answers speaks for the models: what would serve them are containers, and none runs here.
type answers struct {
	url    string
	server *http.Server
}

func (d *demo) startAnswers(context.Context) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	d.answers = &answers{url: "http://" + listener.Addr().String(), server: &http.Server{Handler: http.HandlerFunc(answer)}}
	go func() { _ = d.answers.server.Serve(listener) }() // until stop closes it
	return d.answers.url + " speaks for the models, since no container runs here", nil
}

// answer is what the version says that the path begins with: all is well, but with the bad one.
func answer(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/"+model+"-"+badVersion+"/") {
		http.Error(w, "the column complaints is not there", http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, `{"ready": true}`)
}

func (a *answers) stop() error { return a.server.Close() }
