// Pause holds the namespaces of a Pod while its containers come and go, as the image of that
// name does in every Kubernetes cluster. It does nothing until it is told to stop.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
}
