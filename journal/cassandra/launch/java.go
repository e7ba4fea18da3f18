package launch

import (
	"fmt"
	"path/filepath"
)

// exported and opened are the packages of Java 17 that Cassandra reaches into.
var (
	exported = []string{
		"java.base/jdk.internal.misc", "java.management.rmi/com.sun.jmx.remote.internal.rmi", "java.rmi/sun.rmi.registry",
		"java.rmi/sun.rmi.server", "java.rmi/sun.rmi.transport", "java.rmi/sun.rmi.transport.tcp", "java.sql/java.sql",
		"java.base/java.lang.ref", "jdk.unsupported/sun.misc", "java.base/jdk.internal.ref", "java.base/sun.nio.ch",
	}
	opened = []string{
		"java.base/java.lang.module", "java.base/jdk.internal.loader", "java.base/jdk.internal.ref", "java.base/jdk.internal.reflect",
		"java.base/jdk.internal.math", "java.base/jdk.internal.module", "java.base/jdk.internal.util.jar",
		"jdk.management/com.sun.management.internal", "java.base/java.io", "java.base/sun.nio.ch", "java.base/java.lang",
		"java.base/java.lang.reflect", "java.base/java.util", "java.base/java.nio", "java.base/java.util.concurrent",
		"java.base/java.util.concurrent.atomic", "java.base/java.net",
	}
)

// arguments are what Java gets to run a node. ringDelay is how long a node that
// joins others listens before it takes its place, in milliseconds.
func (l layout) arguments(jars string, ringDelay int) []string {
	var args []string
	for _, name := range exported {
		args = append(args, "--add-exports", name+"=ALL-UNNAMED")
	}
	for _, name := range opened {
		args = append(args, "--add-opens", name+"=ALL-UNNAMED")
	}
	if l.Brief {
		args = append(args, "-XX:TieredStopAtLevel=1")
	}
	conf := filepath.Join(l.Dir, "conf")
	return append(args,
		// A node without memory would only collect garbage, and hold the connections of its clients.
		"-XX:+ExitOnOutOfMemoryError",
		// What Java writes lies in the node's folder and goes with it.
		"-Djava.io.tmpdir="+l.Dir, "-XX:-UsePerfData",
		fmt.Sprintf("-Xms%dm", l.HeapMiB), fmt.Sprintf("-Xmx%dm", l.HeapMiB), "-XX:+UseG1GC", "-Xss512k",
		// Cassandra gathers writes in arrays of 1 MiB. In the small regions that a small heap has by default, each would take two.
		"-XX:G1HeapRegionSize=4m",
		"-Djdk.attach.allowAttachSelf=true",
		"-Dcassandra.storagedir="+l.Dir, "-Dcassandra.logdir="+l.Dir,
		"-Dcassandra.config=file://"+filepath.Join(conf, "cassandra.yaml"),
		"-Dlogback.configurationFile="+filepath.Join(conf, "logback.xml"),
		fmt.Sprintf("-Dcassandra.ring_delay_ms=%d", ringDelay),
		"-Dcassandra.skip_wait_for_gossip_to_settle=0", "-Dcassandra.superuser_setup_delay_ms=0",
		"-Dcassandra-foreground=yes",
		// Without a flush the schema does not outlive a crash, but its changes are quicker.
		fmt.Sprintf("-Dcassandra.test.flush_local_schema_changes=%t", l.SyncCommits || l.Config.Dir != ""),
		"-cp", conf+":"+filepath.Join(jars, "*"), "org.apache.cassandra.service.CassandraDaemon")
}
