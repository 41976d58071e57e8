#!/bin/sh
# Makes what the interpreter needs around /opt/predeploy in an image that has nothing else:
# the loader where every program looks for it, its cache, names, and a starter without a shell.
set -eu
root=$1

interpreter=$(ldd /opt/predeploy/bin/python3 | sed -n 's|^[[:space:]]*\(/[^ ]*ld-linux[^ ]*\) .*|\1|p')
mkdir -p "$root$(dirname "$interpreter")" "$root/etc" "$root/usr/local/bin" "$root/opt/predeploy"
ln -s /opt/predeploy/lib/ld.so "$root$interpreter"

# The cache names the libraries by the path that they will have.
cp -a /opt/predeploy/lib "$root/opt/predeploy/"
echo /opt/predeploy/lib > "$root/etc/ld.so.conf"
ldconfig -r "$root" -X
rm -rf "${root:?}/opt"

echo 'predeploy:x:65532:65532::/tmp:/usr/sbin/nologin' > "$root/etc/passwd"
echo 'predeploy:x:65532:' > "$root/etc/group"
echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
mkdir -m 1777 "$root/tmp"

cat > "$root/usr/local/bin/predeploy" <<'STARTER'
#!/opt/predeploy/bin/python3 -IS
import runpy

runpy.run_path("/opt/predeploy/lib/predeploy", run_name="__main__")
STARTER
chmod 755 "$root/usr/local/bin/predeploy"
