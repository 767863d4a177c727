// What a route answers when it is not simply 200 with a body. It knows neither routes nor sockets.

/** An answer other than 200 that a route wants to give. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** A route may return this to choose its status. */
export class Answer {
  constructor(status, body) {
    this.status = status;
    this.body = body;
  }
}
