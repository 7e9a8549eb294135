// Where the live endpoint is. Mounted apps and `flask run` answer with another address.
export default new URL("../socket.io/", import.meta.url).href;
