/** The page: makes the parts and gives them to the app. */
import './app/styles/tokens.css';
import './app/styles/base.css';
import './app/styles/frame.css';
import './app/styles/views.css';
import './app/styles/stage.css';
import { App } from './app/app';
import { makeContext } from './app/context';

const app = new App();
app.app = makeContext();
document.body.append(app);
