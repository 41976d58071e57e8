// The smallest app that is a good citizen of Railway: listens on PORT, and ends on SIGTERM.
const server = require("node:http").createServer((_, response) => response.end("ok\n"));

server.listen(Number(process.env.PORT ?? 3000), "::", () => console.log("listening"));
process.on("SIGTERM", () => server.close());
